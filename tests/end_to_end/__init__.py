"""The installed tap as its users meet it, with software around it that is not ours."""
