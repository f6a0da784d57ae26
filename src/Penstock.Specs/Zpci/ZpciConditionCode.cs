namespace Penstock.Specs.Zpci;

/// <summary>What a zPCI instruction leaves in the condition code.</summary>
public enum ZpciConditionCode : byte
{
    /// <summary>Done.</summary>
    Done = 0,

    /// <summary>An error; the status in r1 says which (<see cref="ZpciStatus"/>).</summary>
    Error = 1,

    /// <summary>Busy; try again.</summary>
    Busy = 2,

    /// <summary>The handle is not that of an enabled function, or the function is gone.</summary>
    InvalidHandle = 3,
}
