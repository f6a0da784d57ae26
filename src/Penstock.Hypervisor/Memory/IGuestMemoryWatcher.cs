namespace Penstock.Hypervisor;

/// <summary>Who keeps something for each slot of a guest's memory.</summary>
internal interface IGuestMemoryWatcher
{
    /// <summary>
    /// Slots have come or gone. A slot that has gone is still held during the call, by whoever took it away, and not after it. Called on the thread
    /// that changed them, maybe on several at once.
    /// </summary>
    void SlotsChanged();
}
