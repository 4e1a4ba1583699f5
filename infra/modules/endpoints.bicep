// The online endpoint and the three batch endpoints, without deployments: those are made by rollouts and by
// `python -m ml.publish`. Only for the first deployment: to put an endpoint again sets its traffic and its default
// deployment back to none, which would take the live model away.

@description('Name of the workspace; this module is deployed in its resource group.')
param workspaceName string

@description('Region of the workspace.')
param location string

@description('Tags of the endpoints.')
param tags object

@description('Name of the online endpoint. Names of endpoints are unique per region, over all customers.')
param onlineEndpointName string

@description('Resource id of the identity that the online endpoint\'s deployments pull images and models with.')
param onlineEndpointIdentityId string

@description('How callers of the online endpoint identify themselves.')
@allowed(['AADToken', 'Key', 'AMLToken'])
param onlineEndpointAuthMode string

@description('Names of the batch endpoints.')
param batchEndpointNames array

@description('Reached through the workspace\'s private endpoint only.')
param networkIsolation bool

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

resource online 'Microsoft.MachineLearningServices/workspaces/onlineEndpoints@2025-06-01' = {
  parent: workspace
  name: onlineEndpointName
  location: location
  tags: tags
  kind: 'Managed'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${onlineEndpointIdentityId}': {}
    }
  }
  properties: {
    authMode: onlineEndpointAuthMode
    description: 'Serves the live model. Relearn makes its deployments and divides its traffic.'
    publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'
  }
}

// Batch endpoints have no switch of their own for public access: they follow the workspace.
resource batch 'Microsoft.MachineLearningServices/workspaces/batchEndpoints@2025-06-01' = [
  for name in batchEndpointNames: {
    parent: workspace
    name: name
    location: location
    tags: tags
    properties: {
      authMode: 'AADToken'
      description: 'Azure Data Factory invokes it.'
    }
  }
]
