"""A stage on a rented machine, as a SageMaker Training job."""
