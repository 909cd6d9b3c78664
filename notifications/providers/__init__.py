"""Who carries messages out of the house: one module for each provider."""
