"""The lab: network namespaces with Sluice in front of the example application, clients and attackers.

Shared by scripts/run, tests/e2e and tests/bench. Everything it makes lives in namespaces and folders of its own and is
gone when the run ends, also when the run is killed: see netns.py.
"""
