"""Development tools: build the catalogue, run the quickstart."""
