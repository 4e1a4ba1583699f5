// The data lake: one container with 0-raw, 1-bronze, 2-silver, 3-gold and models. ARM knows no directories; a folder
// appears with its first file.

@description('Name of the storage account.')
param name string

@description('Region of the lake.')
param location string

@description('Tags of the lake.')
param tags object

@description('Redundancy of the lake.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param skuName string = 'Standard_LRS'

@description('Reached through private endpoints only.')
param networkIsolation bool

@description('Name of the container: the first segment of every path in reactions.yaml.')
param containerName string = 'lake'

@description('After so many days a raw file moves to the cool tier. It is never deleted: models are trained on it again.')
@minValue(1)
param rawToCoolDays int = 60

@description('After so many days a file in bronze or silver is deleted: it can be made again from raw.')
@minValue(1)
param derivedDeleteDays int = 180

@description('For so many days something deleted can be restored.')
@minValue(1)
@maxValue(365)
param softDeleteDays int = 14

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_35: Denied by networkIsolation; otherwise there is no network that could be allowed.
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    // checkov:skip=CKV_AZURE_206: Locally redundant by default for the sake of cost; skuName chooses another.
    name: skuName
  }
  properties: {
    accessTier: 'Hot'
    isHnsEnabled: true
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    // Event Grid raises the lake's events itself and needs no way in; so nothing is let through in isolation.
    publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'
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
    // Versions do not exist in a hierarchical namespace: soft delete is what undoes a mistake here.
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

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: containerName
  properties: {
    publicAccess: 'None'
  }
}

// models/ and 3-gold/ are in no rule: a registered model points into models/, and its report in gold says why it is live.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'raw-to-cool'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${containerName}/0-raw/']
            }
            actions: {
              baseBlob: {
                tierToCool: {
                  daysAfterModificationGreaterThan: rawToCoolDays
                }
              }
            }
          }
        }
        {
          name: 'delete-derived'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${containerName}/1-bronze/', '${containerName}/2-silver/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: derivedDeleteDays
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

@description('Region of the lake: where its system topic must be.')
output location string = account.location
