// The subscriptions of one system topic, all of them from infra/event-subscriptions.json: the same file that the local
// Event Grid delivers by. Both ways of delivery have the same names, so the other way's subscription is replaced.

@description('Name of the system topic; this module is deployed in its resource group.')
param topicName string

@description('Which of the file\'s subscriptions: those of this source.')
@allowed(['lake', 'workspace'])
param source string

@description('To the function (webhook), or to the storage queue it reads (queue).')
@allowed(['webhook', 'queue'])
param delivery string

@description('Only for webhook: resource id of the function app. Event Grid checks that its function exists.')
param functionAppId string = ''

@description('Resource id of the app\'s storage account: dead letters, and the queue.')
param appStorageId string

// Seven days, the longest a queue keeps by default: what is not taken by then is lost, and an app may be down for days.
var queueMessageSeconds = 604800

var table = any(loadJsonContent('../event-subscriptions.json'))
var subscriptions = filter(table.subscriptions, entry => entry.source == source)

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

resource subscriptionOf 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = [
  for entry in subscriptions: {
    parent: topic
    name: entry.name
    properties: {
      eventDeliverySchema: entry.eventDeliverySchema
      // In brackets, because the parser that checkov comes with takes `.filter` for the function.
      filter: entry['filter']
      retryPolicy: entry.retryPolicy
      // With the topic's identity: the account has no keys.
      deadLetterWithResourceIdentity: {
        identity: {
          type: 'SystemAssigned'
        }
        deadLetterDestination: {
          endpointType: 'StorageBlob'
          properties: {
            resourceId: appStorageId
            blobContainerName: entry.deadLetter.container
          }
        }
      }
      deliveryWithResourceIdentity: delivery == 'queue' ? {
        identity: {
          type: 'SystemAssigned'
        }
        destination: {
          endpointType: 'StorageQueue'
          properties: {
            resourceId: appStorageId
            queueName: entry.destination.queue
            queueMessageTimeToLiveInSeconds: queueMessageSeconds
          }
        }
      } : null
      // Event Grid fetches the function's key itself, with the rights of whoever deploys this.
      destination: delivery == 'webhook' ? {
        endpointType: 'AzureFunction'
        properties: {
          resourceId: '${functionAppId}/functions/${entry.destination.function}'
          maxEventsPerBatch: entry.destination.maxEventsPerBatch
          preferredBatchSizeInKilobytes: entry.destination.preferredBatchSizeInKilobytes
        }
      } : null
    }
  }
]
