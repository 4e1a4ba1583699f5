// The system topic of one source. A source can have only one: if there is one already, pass it to main.bicep instead.

@description('Name of the topic; this module is deployed in the resource group of its source.')
param name string

@description('Region of the source; a topic is in no other.')
param location string

@description('Tags of the topic.')
param tags object

@description('Resource id of the source.')
param source string

@description('Which kind of topic the source has.')
@allowed(['Microsoft.Storage.StorageAccounts', 'Microsoft.MachineLearningServices.Workspaces'])
param topicType string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  // Delivers to the queue and to the dead letters; nothing else takes a key either.
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: source
    topicType: topicType
  }
}

@description('Object id of the topic\'s identity.')
output principalId string = topic.identity.principalId
