"""Model monitors: schedules that run a drift component as a job, and say so when a threshold is breached."""
