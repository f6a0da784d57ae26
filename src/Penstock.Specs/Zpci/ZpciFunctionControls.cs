namespace Penstock.Specs.Zpci;

/// <summary>
/// What a FIB says of the function (fc). QEMU, and so every guest, sees <see cref="Error"/> in the blocked and in the error state and
/// <see cref="Blocked"/> in the error state alone.
/// </summary>
[Flags]
public enum ZpciFunctionControls : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The function is enabled.</summary>
    Enabled = 0x80,

    /// <summary>The function is in error.</summary>
    Error = 0x40,

    /// <summary>Loads and stores are blocked.</summary>
    Blocked = 0x20,

    /// <summary>A DMA address space is registered.</summary>
    DmaRegistered = 0x10,
}
