"""The reference backend: kernel IR run in Python with NumPy's meaning."""
