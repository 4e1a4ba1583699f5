"""A reaction's job in the workspace: started once per attempt under a name of ours, or adopted; followed to its end."""
