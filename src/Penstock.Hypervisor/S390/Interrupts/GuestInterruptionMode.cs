namespace Penstock.Hypervisor;

/// <summary>How often adapter interruptions of a subclass come through to a guest, as it says itself with SIC.</summary>
public enum GuestInterruptionMode
{
    /// <summary>All.</summary>
    All,

    /// <summary>One, then none until the guest asks again.</summary>
    Single,
}
