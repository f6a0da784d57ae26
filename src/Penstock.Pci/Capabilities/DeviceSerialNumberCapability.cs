using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>The device's serial number, an EUI-64 (PCI Express 3.0, section 7.12). Read-only.</summary>
public sealed class DeviceSerialNumberCapability : PciExtendedCapability
{
    /// <summary>Creates the capability.</summary>
    /// <param name="serialNumber">The number.</param>
    public DeviceSerialNumberCapability(ulong serialNumber)
        : base(PciExtendedCapabilityId.DeviceSerialNumber, 1, PciExtendedHeader.SerialNumberLength)
    {
        SerialNumber = serialNumber;
        Define(PciExtendedHeader.Length, 4, (uint)serialNumber);
        Define(PciExtendedHeader.Length + 4, 4, (uint)(serialNumber >> 32));
    }

    /// <summary>The number.</summary>
    public ulong SerialNumber { get; }
}
