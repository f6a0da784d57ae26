namespace Penstock.Specs.VfioUser;

/// <summary>Flags of DMA_MAP.</summary>
[Flags]
public enum VfioUserDmaMapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The device may read.</summary>
    Read = 1,

    /// <summary>The device may write.</summary>
    Write = 2,

    /// <summary>The descriptor is to be mapped.</summary>
    Mmap = 4,

    /// <summary>The descriptor is to be read and written.</summary>
    FileIo = 8,
}
