"""What benchmarks share: finding and reading rows, and turning them into Questions."""
