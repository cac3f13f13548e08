# The table at the end of configure: what was found, and what each missing thing disables.
