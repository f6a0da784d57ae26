using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>Which device a socket leads to.</summary>
/// <param name="Host">The host that has the device.</param>
/// <param name="GroupNumber">Number of its IOMMU group.</param>
/// <param name="DeviceName">Its name.</param>
public sealed record VfioUserEndpoint(VfioHost Host, int GroupNumber, string DeviceName);
