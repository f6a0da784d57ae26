namespace Penstock.VfioUser.Tests.Server;

/// <summary>Who reads a connection, one step after the other.</summary>
public sealed class ReadingTurnTests
{
    private readonly ReadingTurn _turn = new();

    [Fact]
    public void TryTake_NotOffered_IsRefused()
    {
        Assert.False(_turn.TryTake());
        _turn.EndOffer();
        Assert.False(_turn.TryTake());
    }

    [Fact]
    public void Offered_NobodyComes_IsBackByItself()
    {
        _turn.Offer();
        Assert.False(_turn.WaitUntilBack());
        Assert.False(_turn.TryTake());
    }

    [Fact]
    public void Offered_TakenAndPutBack_CanBeTakenAgainByOneAtATime()
    {
        _turn.Offer();
        Assert.True(_turn.TryTake());
        Assert.False(_turn.TryTake());
        _turn.PutBack();
        Assert.True(_turn.TryTake());
        _turn.Return();
        Assert.False(_turn.TryTake());
        Assert.True(_turn.WaitUntilBack());
    }

    [Fact]
    public void Withdraw_WhileItIsUsed_IsRefused()
    {
        _turn.Offer();
        Assert.True(_turn.TryTake());
        Assert.False(_turn.Withdraw());
        _turn.PutBack();
        Assert.True(_turn.Withdraw());
        Assert.False(_turn.TryTake());
    }

    [Fact]
    public void EndOffer_WhileItIsUsed_ChangesNothing()
    {
        _turn.Offer();
        Assert.True(_turn.TryTake());
        _turn.EndOffer();
        _turn.PutBack();
        Assert.True(_turn.TryTake());
        _turn.PutBack();
        _turn.EndOffer();
        Assert.False(_turn.TryTake());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void WaitUntilBack_UsedForLong_WaitsForTheUser(bool returned)
    {
        _turn.Offer();
        Assert.True(_turn.TryTake());
        bool back = false;
        var owner = new Thread(() =>
        {
            _turn.WaitUntilBack();
            Volatile.Write(ref back, true);
        });
        owner.Start();
        Thread.Sleep(60);
        Assert.False(Volatile.Read(ref back));
        if (returned)
        {
            _turn.Return();
        }
        else
        {
            // Nobody uses it any more: the owner finds out by itself.
            _turn.PutBack();
        }

        Assert.True(owner.Join(TimeSpan.FromMinutes(1)), "the owner waits for ever");
    }

    [Fact]
    public void Turn_ManyThreads_NeverTwoHaveIt()
    {
        const int Rounds = 300;
        int inside = 0;
        int uses = 0;
        bool ended = false;
        bool wrong = false;
        Thread[] users = [.. Enumerable.Range(0, 3).Select(i => new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                if (_turn.TryTake())
                {
                    wrong |= Interlocked.Increment(ref inside) != 1;
                    Interlocked.Increment(ref uses);
                    Interlocked.Decrement(ref inside);
                    if (i == 0)
                    {
                        _turn.Return();
                    }
                    else
                    {
                        _turn.PutBack();
                    }
                }

                if (i == 2)
                {
                    _turn.EndOffer();
                }
            }
        }))];
        Array.ForEach(users, static u => u.Start());

        // On a busy machine all rounds could be over before a user has begun.
        for (int i = 0; i < Rounds || Volatile.Read(ref uses) == 0; i++)
        {
            _turn.Offer();
            _turn.WaitUntilBack();
            wrong |= Interlocked.Increment(ref inside) != 1;
            Interlocked.Decrement(ref inside);
        }

        Volatile.Write(ref ended, true);
        Array.ForEach(users, static u => u.Join());
        Assert.False(wrong);
    }
}
