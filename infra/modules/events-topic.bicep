// The custom topic that the app publishes lifecycle events to: reactions that start, end, are refused.

@description('Name of the topic.')
param name string

@description('Region of the topic.')
param location string

@description('Tags of the topic.')
param tags object

@description('Reached through its private endpoint only.')
param networkIsolation bool

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  // checkov:skip=CKV_AZURE_191: Subscribers bring their own identities; the topic itself delivers nothing of ours.
  // checkov:skip=CKV_AZURE_193: Closed by networkIsolation; by default the app comes from outside.
  name: name
  location: location
  tags: tags
  properties: {
    inputSchema: 'EventGridSchema'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: networkIsolation ? 'Disabled' : 'Enabled'
  }
}

@description('Resource id of the topic.')
output id string = topic.id

@description('Address that events are published to.')
output endpoint string = topic.properties.endpoint
