"""dayfly side by side with papermill and `jupyter execute`, as whole processes. See README.md."""
