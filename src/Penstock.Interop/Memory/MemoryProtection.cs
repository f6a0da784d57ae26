namespace Penstock.Interop;

/// <summary>What a mapping of this process may be used for.</summary>
[Flags]
public enum MemoryProtection
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Loads.</summary>
    Read = Native.PROT_READ,

    /// <summary>Stores.</summary>
    Write = Native.PROT_WRITE,

    /// <summary>Loads and stores.</summary>
    ReadWrite = Read | Write,
}
