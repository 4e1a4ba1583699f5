// In isolation: the ways out of the workspace's managed network that jobs need. Of its own storage account, vault and
// registry the workspace takes care itself.

@description('Name of the workspace; this module is deployed in its resource group.')
param workspaceName string

@description('Resource id of the lake.')
param lakeId string

@description('Resource id of the app\'s storage account: jobs read their batch\'s manifest there.')
param appStorageId string

var targets = [
  { name: 'lake-blob', id: lakeId, part: 'blob', spark: true }
  { name: 'lake-dfs', id: lakeId, part: 'dfs', spark: true }
  { name: 'manifests-blob', id: appStorageId, part: 'blob', spark: false }
]

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

// One after the other: a workspace changes its network for one rule at a time.
@batchSize(1)
resource ruleOf 'Microsoft.MachineLearningServices/workspaces/outboundRules@2025-06-01' = [
  for target in targets: {
    parent: workspace
    name: target.name
    properties: {
      type: 'PrivateEndpoint'
      category: 'UserDefined'
      destination: {
        serviceResourceId: target.id
        subresourceTarget: target.part
        // The drift monitor's serverless Spark reads the lake.
        sparkEnabled: target.spark
      }
    }
  }
]
