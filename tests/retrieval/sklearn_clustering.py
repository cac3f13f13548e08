"""What scikit-learn and SciPy say of clusterings. Reads the JSON file argv[1] {pairs: [[a, b]], costs: [matrix]}; prints
{nmi: [value of each pair], totals: [least total cost of each matrix]}."""
import json
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score

case = json.load(open(sys.argv[1]))
totals = []
for cost in case["costs"]:
    matrix = np.array(cost)
    totals.append(float(matrix[linear_sum_assignment(matrix)].sum()))
print(json.dumps({"nmi": [normalized_mutual_info_score(a, b) for a, b in case["pairs"]], "totals": totals}))
