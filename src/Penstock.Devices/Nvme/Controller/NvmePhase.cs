namespace Penstock.Devices;

/// <summary>What the controller's strand can be doing, as far as its time is told apart.</summary>
internal enum NvmePhase
{
    /// <summary>Looking at the doorbells.</summary>
    Doorbells,

    /// <summary>Copying commands off their queue and checking them.</summary>
    Fetch,

    /// <summary>Finding the host's memory and the blocks, and copying between them; or giving the command to a worker.</summary>
    Data,

    /// <summary>Writing completions.</summary>
    Complete,

    /// <summary>Sending interrupts.</summary>
    Interrupt,

    /// <summary>What lies between: turns, register calls, events.</summary>
    Other,

    /// <summary>Looking in vain.</summary>
    Idle,
}
