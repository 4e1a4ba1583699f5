// A new data factory. What is in it comes from pipelines.bicep, also for an existing factory.

@description('Name of the factory.')
param name string

@description('Region of the factory.')
param location string

@description('Tags of the factory.')
param tags object

@description('What the pipelines read as pipeline().globalParameters.')
param globalParameters object

@description('Activities run in a network that Azure Data Factory manages, and reach the workspace and the lake privately.')
param networkIsolation bool

@description('Resource id of the workspace whose batch endpoints the pipelines call.')
param workspaceId string

@description('Resource id of the lake.')
param lakeId string

// A managed private endpoint waits until somebody who owns its target has approved it. That the one to the workspace also
// carries calls to its batch endpoints follows from how Azure Machine Learning resolves their names; it was not tried.
var privateTargets = [
  { name: 'workspace', id: workspaceId, group: 'amlworkspace' }
  { name: 'lake-dfs', id: lakeId, group: 'dfs' }
  { name: 'lake-blob', id: lakeId, group: 'blob' }
]
var wantedTargets = networkIsolation ? privateTargets : []

resource factory 'Microsoft.DataFactory/factories@2018-06-01' = {
  // checkov:skip=CKV_AZURE_104: Closed by networkIsolation; otherwise there is no network it could be reached from.
  // checkov:skip=CKV_AZURE_103: Git is a user's choice; the pipelines come from this repository.
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'
    // With the factory, not as a resource of their own: so there is no moment without them while runs are in flight.
    globalParameters: globalParameters
  }
}

resource network 'Microsoft.DataFactory/factories/managedVirtualNetworks@2018-06-01' = if (networkIsolation) {
  parent: factory
  name: 'default'
  properties: {}
}

// Of this name, it is what activities without connectVia run on; so the pipelines are the same in both worlds.
resource runtime 'Microsoft.DataFactory/factories/integrationRuntimes@2018-06-01' = if (networkIsolation) {
  parent: factory
  name: 'AutoResolveIntegrationRuntime'
  properties: {
    type: 'Managed'
    managedVirtualNetwork: {
      type: 'ManagedVirtualNetworkReference'
      referenceName: 'default'
    }
    typeProperties: {
      computeProperties: {
        location: 'AutoResolve'
      }
    }
  }
  dependsOn: [network]
}

resource endpoints 'Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints@2018-06-01' = [
  for target in wantedTargets: {
    parent: network
    name: target.name
    properties: {
      privateLinkResourceId: target.id
      groupId: target.group
    }
  }
]

@description('Object id of the factory\'s identity.')
output principalId string = factory.identity.principalId
