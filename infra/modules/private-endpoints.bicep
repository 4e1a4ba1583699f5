// Private endpoints, each with its names in the zones that virtual-network.bicep made.

@description('Region of the virtual network, and so of the endpoints; what they lead to may be in another.')
param location string

@description('Tags of the endpoints.')
param tags object

@description('Resource id of the subnet for endpoints.')
param subnetId string

@description('Resource ids of the private DNS zones, by the zones\' names.')
param zones object

@description('What to reach: a list of {name, resourceId, groupId, zoneNames}. A name is unique in the resource group.')
param targets array

// Approved at once where the deploying person may approve them; the endpoint of somebody else's resource stays pending.
resource endpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for target in targets: {
    name: 'pe-${target.name}'
    location: location
    tags: tags
    properties: {
      customNetworkInterfaceName: 'nic-pe-${target.name}'
      subnet: {
        id: subnetId
      }
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: {
            privateLinkServiceId: target.resourceId
            groupIds: [target.groupId]
          }
        }
      ]
    }
  }
]

// A record for each of the target's names, kept right when its address changes.
resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (target, i) in targets: {
    parent: endpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zone in target.zoneNames: {
          name: replace(zone, '.', '-')
          properties: {
            privateDnsZoneId: zones[zone]
          }
        }
      ]
    }
  }
]
