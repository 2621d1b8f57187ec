# The igraph side of graph.ts, a program of its own: reads a graph and questions, answers them, and says what CPU time it took.
import json
import sys
import time

import igraph

with open(sys.argv[1], encoding="utf8") as file:
    asked = json.load(file)
edges = [(start, end) for start, end, _ in asked["edges"]]
weights = [weight for _, _, weight in asked["edges"]]
began = time.process_time()
graph = igraph.Graph(n=asked["nodes"], edges=edges, directed=True)
graph.es["weight"] = weights
loaded = time.process_time()
near = [len(graph.neighborhood(start, order=asked["depth"], mode="out")) for start in asked["starts"]]
walked = time.process_time()
paths = [graph.get_shortest_path(start, end, weights="weight", output="epath") for start, end in asked["pairs"]]
found = time.process_time()
sums = [sum(weights[edge] for edge in path) for path in paths]
json.dump(
    {
        "version": igraph.__version__,
        "seconds": {"load": loaded - began, "bfs": walked - loaded, "path": found - walked},
        "near": near,
        "weights": [total if path or start == end else None for total, path, (start, end) in zip(sums, paths, asked["pairs"])],
    },
    sys.stdout,
)
