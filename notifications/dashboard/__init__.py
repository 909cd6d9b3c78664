"""What an operator sees at a glance, from sources that cost the same however large the tables."""
