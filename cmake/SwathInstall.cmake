# Install tree: headers, static libraries, the program, swathConfig.cmake and pkg-config.
