"""Engines: what generates answers.

A new one is a file here and a line in `registry.py`. The file holds a subclass of `EngineSettings`,
whose fields become keys of the study file and options of the command line, and the engine that its
`open` starts.
"""
