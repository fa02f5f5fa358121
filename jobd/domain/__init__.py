"""What jobd knows without touching anything: pure values and decisions. Imports nothing of jobd."""
