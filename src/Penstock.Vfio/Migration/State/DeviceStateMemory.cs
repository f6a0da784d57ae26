namespace Penstock.Vfio;

/// <summary>Memory declared in a <see cref="DeviceStateTable"/>.</summary>
internal sealed record DeviceStateMemory(string Name, int Since, Memory<byte> Memory);
