namespace Penstock.Hypervisor;

/// <summary>Who uses guest memory that it finds, without pinning it, inside scopes.</summary>
internal interface IGuestReader
{
    /// <summary>Returns when every scope that was entered before the call has been left.</summary>
    void WaitForScopes();
}
