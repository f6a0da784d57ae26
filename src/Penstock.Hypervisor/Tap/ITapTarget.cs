namespace Penstock.Hypervisor;

/// <summary>
/// What follows a guest's tables on behalf of its device: the join between a tap and a device's I/O address space. Called on the tap's thread, but for
/// <see cref="Lose"/>.
/// </summary>
internal interface ITapTarget
{
    /// <summary>Makes the guest's tables the device's translation, as they are now; its user's own mappings are kept aside.</summary>
    /// <param name="path">Shadow or nested.</param>
    /// <param name="registration">The tables.</param>
    /// <param name="channel">On the nested path: what is to be marked as busy before each translation.</param>
    /// <returns>Null, or why it cannot be done now; then nothing has changed.</returns>
    string? Lend(RpcitPath path, IoatRegistration registration, TapChannel channel);

    /// <summary>
    /// Gives the device its user's own mappings back. When it returns nothing is reached through the guest's tables any more. Nothing
    /// happens when they are not in use.
    /// </summary>
    void TakeBack();

    /// <summary>The guest has changed a range: whatever was there before is out of use when this returns.</summary>
    /// <param name="start">First I/O address, a multiple of a page.</param>
    /// <param name="length">Length in bytes, whole pages.</param>
    /// <returns>What the guest is to be told. With an error event QEMU is to find the same error.</returns>
    RpcitAnswer Refresh(ulong start, ulong length);

    /// <summary>Lines of the ring are to take effect now: nothing that was translated before is in use when this returns.</summary>
    /// <param name="from">Number of the first one.</param>
    /// <param name="until">Number behind the last one.</param>
    void DrainRing(uint from, uint until);

    /// <summary>
    /// The guest's tables are gone, whatever the tap's thread does at this moment: nothing is reached through them when this returns, nor until <see cref="EndLoss"/>. Any
    /// thread that is in no access of the device's.
    /// </summary>
    void Lose();

    /// <summary>The tap's thread knows as well, and has taken back.</summary>
    void EndLoss();
}
