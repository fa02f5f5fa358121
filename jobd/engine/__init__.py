"""What the daemon decides: commands in, attempts run, outcomes settled. No SQL, no HTTP."""
