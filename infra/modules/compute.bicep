// What jobs need of a workspace, new or existing: the datastore `lake` and the cluster that ml/batch names.
// In an existing workspace both names must be free, or already be these.

@description('Name of the workspace; this module is deployed in its resource group.')
param workspaceName string

@description('Region of the workspace.')
param location string

@description('Tags of the cluster.')
param tags object

@description('Name of the cluster.')
param clusterName string = 'cpucluster'

@description('Resource id of the identity that jobs run with.')
param identityId string

@description('Size of a node.')
param vmSize string

@description('Cheaper nodes that may be taken away while a job runs; the job starts again.')
param lowPriority bool

@description('Nodes without public addresses, in the workspace\'s managed network.')
param networkIsolation bool

@description('Name of the lake\'s storage account.')
param lakeAccountName string

@description('Resource group of the lake\'s storage account.')
param lakeResourceGroup string

@description('Name of the lake\'s container.')
param lakeContainerName string = 'lake'

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

resource lake 'Microsoft.MachineLearningServices/workspaces/datastores@2025-06-01' = {
  parent: workspace
  name: 'lake'
  properties: {
    datastoreType: 'AzureDataLakeGen2'
    description: 'The data lake, as azureml://datastores/lake/paths/... in every job.'
    accountName: lakeAccountName
    filesystem: lakeContainerName
    subscriptionId: subscription().subscriptionId
    resourceGroup: lakeResourceGroup
    endpoint: environment().suffixes.storage
    protocol: 'https'
    // No secret is kept: a job reads with the cluster's identity, a person with their own.
    credentials: {
      credentialsType: 'None'
    }
    serviceDataAccessAuthIdentity: 'None'
  }
}

// Size, priority and identity of an existing cluster cannot be changed: delete it first, no job needs it while idle.
resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-06-01' = {
  parent: workspace
  name: clusterName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    computeLocation: location
    description: 'Runs the jobs of Relearn; no node while there is none.'
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      vmSize: vmSize
      vmPriority: lowPriority ? 'LowPriority' : 'Dedicated'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: 4
        nodeIdleTimeBeforeScaleDown: 'PT600S'
      }
      remoteLoginPortPublicAccess: 'Disabled'
      enableNodePublicIp: !networkIsolation
    }
  }
}
