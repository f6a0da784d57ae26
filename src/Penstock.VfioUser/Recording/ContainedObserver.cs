namespace Penstock.VfioUser;

/// <summary>
/// An observer whose failure (a full disk, say) ends the observing and not the session: observers are called while others wait to send.
/// </summary>
internal sealed class ContainedObserver(IMessageObserver inner, Action<string>? log) : IMessageObserver
{
    private volatile bool _failed;

    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        if (_failed)
        {
            return;
        }

        try
        {
            inner.OnMessage(fromClient, message, descriptors);
        }
        catch (Exception fault)
        {
            _failed = true;
            log?.Invoke($"messages are not observed any more, the observer failed: {fault.Message}");
        }
    }
}
