"""Long work: an ordered map on a pool, and a folder that survives a kill."""
