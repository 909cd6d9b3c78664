"""What surrounds the product where it runs: `make up`, and what containers are given."""
