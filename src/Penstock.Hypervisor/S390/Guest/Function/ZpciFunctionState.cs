namespace Penstock.Hypervisor;

/// <summary>States of a guest's zPCI function.</summary>
public enum ZpciFunctionState
{
    /// <summary>It is not there.</summary>
    Reserved,

    /// <summary>There, but not the guest's until it is configured.</summary>
    Standby,

    /// <summary>The guest's, and switched off.</summary>
    Disabled,

    /// <summary>In use.</summary>
    Enabled,

    /// <summary>An error happened; loads and stores work again, DMA does not.</summary>
    Blocked,

    /// <summary>An error happened: nothing works until the guest has reset it.</summary>
    Error,

    /// <summary>Broken for good: only deconfiguring helps.</summary>
    PermanentError,
}
