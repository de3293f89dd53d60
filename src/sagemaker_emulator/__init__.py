"""SageMaker's Training jobs on this machine, for those without an account, and for the tests.

It takes what the service takes, refuses what it refuses, and really runs the jobs. What it knows of the service is from
botocore's model, the developer guide, and the sentences that people quote in their issues.
"""
