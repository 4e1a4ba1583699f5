"""The only place that talks to Azure: each module implements one port on the SDK's own client."""
