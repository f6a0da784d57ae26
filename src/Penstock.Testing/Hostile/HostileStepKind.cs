namespace Penstock.Testing;

/// <summary>What a hostile user can do.</summary>
internal enum HostileStepKind
{
    /// <summary>Read a register.</summary>
    ReadBar,

    /// <summary>Write a register.</summary>
    WriteBar,

    /// <summary>Write many bytes at once.</summary>
    FillBar,

    /// <summary>Read configuration space.</summary>
    ReadConfig,

    /// <summary>Write configuration space.</summary>
    WriteConfig,

    /// <summary>Write the command register with its own bits.</summary>
    SetCommand,

    /// <summary>DEVICE_RESET.</summary>
    Reset,

    /// <summary>Close and open.</summary>
    Reopen,

    /// <summary>Map memory.</summary>
    Map,

    /// <summary>Unmap memory.</summary>
    Unmap,

    /// <summary>Change mapped memory at random.</summary>
    Scribble,

    /// <summary>Write one word into mapped memory.</summary>
    Poke,

    /// <summary>Bind eventfds.</summary>
    BindInterrupts,

    /// <summary>Take eventfds away.</summary>
    DropInterrupts,

    /// <summary>Mask, unmask or trigger.</summary>
    ActOnInterrupt,

    /// <summary>Ask for a migration state.</summary>
    Migrate,
}
