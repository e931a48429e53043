"""What Airflow's API server serves of Millrace: `serving` adds the routes of each domain, with their rights."""
