"""Who watches a stage: MLflow's curves and the console's bars."""
