using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>A capability in extended configuration space (PCI Express 3.0, section 7.9).</summary>
public abstract class PciExtendedCapability : PciCapability
{
    /// <summary>Creates an extended capability.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="version">Version of its layout.</param>
    /// <param name="length">Length in bytes, the four header bytes included.</param>
    /// <exception cref="ArgumentOutOfRangeException">The length does not fit.</exception>
    protected PciExtendedCapability(PciExtendedCapabilityId id, int version, int length)
        : base(
            (ushort)id,
            length,
            PciExtendedHeader.Length,
            PciConfigOffsets.ExtendedSize - PciConfigOffsets.ConventionalSize)
    {
        Version = version;
        IsShown = CapabilityRules.IsShown(id);
        WritesDropped = IsShown && CapabilityRules.IsReadOnly(id);
        SetNext(0);
    }

    /// <summary>Version of the layout.</summary>
    public int Version { get; }

    private protected override int HeaderLength => PciExtendedHeader.Length;

    internal override void SetNext(int next) => SetHeader(
        Id | ((uint)Version << PciExtendedHeader.VersionShift) | ((uint)next << PciExtendedHeader.NextShift));

    internal void HideButKeepNext(int next) => SetHeader((uint)next << PciExtendedHeader.NextShift);
}
