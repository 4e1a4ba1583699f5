"""Online endpoints: deployments served by real inference servers, behind a front that splits the traffic."""
