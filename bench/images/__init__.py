"""The benchmark of the images: the resizing engine against others, and the whole way on a real Airflow."""
