"""The real servers the suite starts for itself, each as a handle that faults can be put on."""
