// Everything the app stores. The app itself creates nothing: every table, queue and container that shared/settings.py
// names is made here, the poison queues of the two queue triggers included.

@description('Name of the storage account.')
param name string

@description('Region of the storage account.')
param location string

@description('Tags of the storage account.')
param tags object

@description('Reached through private endpoints, and by trusted Azure services, only.')
param networkIsolation bool

@description('After so many days a batch\'s manifest is deleted; runs and their retries are long over then.')
@minValue(31)
param manifestDays int = 180

@description('After so many days an event that could not be delivered is deleted.')
@minValue(8)
param deadLetterDays int = 60

@description('For so many days a deleted blob can be restored.')
@minValue(1)
@maxValue(365)
param softDeleteDays int = 7

var tables = ['lanes', 'due', 'permits', 'recent']
var queues = ['wake-ups', 'wake-ups-poison', 'events', 'events-poison']
var containers = ['manifests', 'dead-letters']

// Not the product's but the platform's: where a Flex Consumption app keeps its package.
var deploymentContainer = 'deployments'

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35: Denied by networkIsolation; otherwise there is no network that could be allowed.
  // checkov:skip=CKV_AZURE_59: Enabled for trusted services, see below; everybody else is denied by networkIsolation.
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // checkov:skip=CKV_AZURE_206: Within one region, like the app; a lost one is re-created and back-filled from the lake.
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    // Not Disabled in isolation: the exception for trusted services, through which Event Grid puts events and dead
    // letters here, belongs to the firewall, and without public network access there is no firewall.
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: networkIsolation ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource containerOf 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [
  for container in concat(containers, [deploymentContainer]): {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource queueOf 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [
  for queue in queues: {
    parent: queueService
    name: queue
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource tableOf 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [
  for table in tables: {
    parent: tableService
    name: table
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-manifests'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['manifests/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: manifestDays
                }
              }
            }
          }
        }
        {
          name: 'delete-dead-letters'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['dead-letters/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: deadLetterDays
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [blobs]
}

@description('Resource id of the storage account.')
output id string = account.id

@description('Name of the storage account.')
output name string = account.name

@description('Address of the blob service, without a slash at its end.')
output blobServiceUri string = 'https://${account.name}.blob.${environment().suffixes.storage}'

@description('Address of the queue service, without a slash at its end.')
output queueServiceUri string = 'https://${account.name}.queue.${environment().suffixes.storage}'

@description('Address of the table service, without a slash at its end.')
output tableServiceUri string = 'https://${account.name}.table.${environment().suffixes.storage}'

@description('Address of the container that the app\'s package is deployed to.')
output deploymentContainerUri string = 'https://${account.name}.blob.${environment().suffixes.storage}/${deploymentContainer}'
